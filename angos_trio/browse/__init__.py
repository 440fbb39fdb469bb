"""What pages and the extension API ask: lists and details, by what the caller may see."""
