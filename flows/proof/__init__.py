"""What was delivered, proved: the journal against the bucket, and the bucket against CloudTrail's signatures.

facts.py says what is known of each object, judge.py what follows from it; proof.py adds up what is found.

    journal_facts.py    what the collector wrote down
    bucket_facts.py     what the bucket holds
    queue_facts.py      what its queues still announce
    digests.py          CloudTrail's own word: digests, their signatures and their chain
    signed_facts.py     what digests say of log files, and what the bucket has of them
    samples.py          delivered objects, read again
    continuous.py       digests verified while the collector runs

page.py shows it to an auditor, text.py on a terminal.
"""
