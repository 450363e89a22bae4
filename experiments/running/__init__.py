"""How a run goes: flags, checks beforehand, processes, inputs, resuming."""
