"""What an item, a user, an interaction and an event are; settings; the error kinds."""
