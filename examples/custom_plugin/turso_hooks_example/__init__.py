"""Two plugins for turso-hooks: `redaction` hides secrets before anything is kept, `counting` counts what agents do."""
