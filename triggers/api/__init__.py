"""What the trigger layer answers over the server's HTTP face."""
