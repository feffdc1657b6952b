"""Who asks AWS, and how fast: accounts, their credentials and sessions, shared request limits."""
