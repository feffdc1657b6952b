"""The AWS APIs that the embedded AWS lacks or serves unlike AWS, on moto's server (extra `[demo]`).

Used by the demo and by the tests; never imported by the collector itself.
"""
