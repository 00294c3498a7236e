"""What is traded and watched: symbols, their admin, and the words that every other app shares."""
