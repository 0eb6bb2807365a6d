"""How runs are carried out: settings, training, state that survives a crash, records."""
