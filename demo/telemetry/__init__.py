"""A device-telemetry API: ingest batches, query a device's history, render fleet reports.

An ordinary service with nothing planted in it. What it keeps is bounded; what it allocates on the
way to an answer is large and comes in bursts, which is all it takes for glibc to keep memory that
nobody uses any more.
"""
