"""Everything that is stored in Redis. Redis clients and Lua scripts exist here only."""
