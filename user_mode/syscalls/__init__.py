"""The system calls of Linux for a guest: a table, and one file per group of calls.

* table: what a call is, the calls of one ABI, dispatch
* types: the types that parameters are annotated with
* guest_memory: structures, strings and vectors in the guest's memory
* paths: where a guest's path leads on the host
* descriptors: what has to be known of some open files
* addresses: socket addresses, options and control messages

All others are groups.
"""
