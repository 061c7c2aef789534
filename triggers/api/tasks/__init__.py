"""The Cloud Tasks API v2: queues, and tasks that are deliveries from them."""
