"""Commands that record the gate scores of a real model as a trace (docs/traces.md)."""
