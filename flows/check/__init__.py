"""`python -m flows check`: what would keep the collector from working, found before it starts.

A check is a small function from a `CheckContext` to findings; `run.py` lists them. A finding has a level, a
stable code and `what: where: hint`. The offline part reads files only. The live part asks AWS harmless
questions and opens a connection to each output: nothing is received, deleted, written or sent.

    finding.py         Level, Finding, CheckContext, Check
    settings.py        the configuration: keys, regular expressions, queues read twice, what has no effect
    certificates.py    the outputs' certificate files, looked at without a network
    identities.py      clock, keys, role hops: GetCallerIdentity
    queues.py          GetQueueUrl, GetQueueAttributes
    objects.py         region of buckets; GetObject where it proves something
    apis.py            one read of each API that a service needs
    permissions.py     what no read can prove, by IAM's own simulation if that is allowed
    outputs.py         connect, handshake, close
"""
