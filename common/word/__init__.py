"""Word files: opened, cleaned to what Word shows, and read as lines, tables and pairs."""
