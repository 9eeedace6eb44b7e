# SPDX-License-Identifier: BSD-3-Clause
"""What ./test is made of. Layers look downwards: groups, then programs and builds, then counts."""
