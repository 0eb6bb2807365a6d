"""From records to comparisons, tables and figures. Nothing is trained here."""
