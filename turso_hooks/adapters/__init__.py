"""Adapters: what other programs and SDKs say about their agents, as events.

One module or package each, named after what it is for.
"""
