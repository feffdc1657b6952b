"""What a process of the collector is made of: its signals, state, epochs, memory and log.

runtime.py             place in a cluster, drain on SIGTERM, log; interrupt.py: Ctrl-C of a loop
reload.py, service_manager.py    SIGHUP; what systemd is told
recovery_store.py      the state folder, before bytewax opens it; private_folder.py: nobody else's
epoch_alignment.py     sources end their epochs together
supervisor.py          several processes: independent, or a cluster; selection.py: who runs what
memory.py, hardening.py     how it keeps memory; what it does not take from its environment
telemetry.py           its named events
"""
