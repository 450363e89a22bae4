"""Networks that read one logit, P(male), from a fundus photograph, and how they are kept."""
