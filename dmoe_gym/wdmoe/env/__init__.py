"""The WDMoE environments."""
