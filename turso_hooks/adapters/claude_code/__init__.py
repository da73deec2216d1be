"""Claude Code, observed from outside: by its hooks, and by the transcripts that it writes.

`inbox` takes what a hook is told, in a process that lives for nothing else; `following` reads transcripts as far as they have
grown; `capture` turns both into events; `installing` puts the hooks into Claude Code's settings.

Nothing is imported here: what a hook runs has to be quick.
"""
