-- When a tag of a repository that is pulled through was last found to be as its upstream has it;
-- NULL where nobody asked.
ALTER TABLE tags ADD COLUMN checked_at INTEGER;
