"""The machine: free memory, and the limits of a job or a container."""
