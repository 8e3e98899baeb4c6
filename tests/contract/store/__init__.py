"""The store on a real Valkey."""
