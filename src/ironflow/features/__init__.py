"""The features: one folder for each noun, with contract, rules, store, service and loops."""
