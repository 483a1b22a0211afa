"""What is decided, as plain functions over plain values: no clock, no disk, no network, no arrays."""
