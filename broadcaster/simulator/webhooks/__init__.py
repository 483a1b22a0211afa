"""Webhooks: endpoints that are told what became of messages. Reads what the rest of the simulator decides."""
