"""The parts of the PC's processor that Python does: registers, MSRs, what instructions ask for."""
