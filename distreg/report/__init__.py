"""Tables, figures and what is printed."""
