"""Models of Keras 3. Keras is imported where a file of its was given; of a live model it is there already."""
