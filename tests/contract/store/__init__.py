"""Each Lua verb on a real Valkey."""
