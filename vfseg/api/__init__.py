"""What `import vfseg` offers to Python: the same work as the commands, on what lies in memory."""
