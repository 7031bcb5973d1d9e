"""The consortium's description: drafting, signing, sealing, templates and the example consortium."""
