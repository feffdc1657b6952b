"""What a process of the collector is made of: its signals, state, epochs, memory and log."""
