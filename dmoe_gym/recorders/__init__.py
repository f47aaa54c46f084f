"""Commands that record the gate scores of real models into trace files (`dmoe_gym.relevance.trace`)."""
