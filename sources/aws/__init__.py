"""Who asks AWS: accounts, their credentials and sessions."""
