"""What is asked of AWS, counted where it is sent, kept over restarts, and held to what it may cost.

    meter.py      hooks on every client, and for the cheap calls: each request that leaves counts once
    book.py       the sums of each month, service and action: a small file beside the state
    budget.py     how long unprotected work waits so that a month costs no more than it may

Prices are handed in: the table is the catalogue's.
"""
