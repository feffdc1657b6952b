"""A bytewax cluster that is alive or dead, never in between.

bytewax runs what a stranger pickles, counts connections instead of peers when it starts, and waits a quarter
of an hour for a dead one. So it connects on loopback only; between machines its bytes go through ours:

handshake.py   who proves to know the cluster's secret; frames that nobody else can make
link.py        one connection to one peer, and what bytewax says over it
mesh.py        waits until all peers stand at the same generation, then lets bytewax connect
watchdog.py    no epoch any more though outputs are well, a clock that steps back: the process ends
"""
