"""What becomes known of messages after they were sent, and the doubts that it settles.

Stands beside planning: it asks the API and reads receipts; it sends nothing, and decides nothing in a person's place.
"""
