"""An organization: its accounts and regions become targets of the API services, and follow what AWS tells.

`accounts.py`   which accounts and regions there are
`identity.py`   a role in each account; all of them share one client of each API and region
`directory.py`  what an input knows of its organization, for all of its services
`everywhere.py` the `Poll` of one API over all accounts
"""
