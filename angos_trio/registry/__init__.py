"""The use-cases: functions over one frozen bundle. They decide, then transact."""
