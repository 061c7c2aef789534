"""Makes the calls: over HTTP, and by opening executions in process.

:class:`triggers.ports.Sender` is what every file here keeps; ``make_senders`` in
:mod:`triggers.senders.sending` puts them together.
"""
