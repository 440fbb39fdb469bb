"""What happened, told in the past tense."""
