"""The product. Read in this order: due, request, work, record, recovery, scheduler."""
