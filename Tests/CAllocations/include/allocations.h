#pragma once
/// How often the calling thread has asked for memory since it began: every way the C library has.
unsigned long allocations_of_this_thread(void);
