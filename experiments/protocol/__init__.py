"""What the entry points share: flags, inputs, trainings, records, the page at the end."""
