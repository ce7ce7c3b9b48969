"""Task states: what their history takes, what a save sends, how long it and a load take, beside LangGraph's savers."""
