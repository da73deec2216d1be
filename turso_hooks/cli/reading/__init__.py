"""The commands that find again what was logged.

`sessions`, `showing`, `searching` and `tailing` have the commands. What they share: `filtering` says which sessions are meant,
`following` waits for what comes, `outline` is what is shown of a conversation in whatever form, `conversation`, `tables`
and `columns` make it text, `markdown` Markdown, `printing` puts it on a terminal or into a pipe. `completing` is for shells.
"""
