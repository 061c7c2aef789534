"""Where deliveries come from: the clock, messages and events. Knows ports, never a store."""
