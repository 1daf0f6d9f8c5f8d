"""The archive's demo and its campaigns: workers and drivers killed, and very many stub scenes."""
