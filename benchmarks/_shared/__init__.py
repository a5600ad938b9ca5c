"""What scripts share: arguments, pictures, methods, time, tables, drawings; nothing measures."""
