"""Texts that shells, quotes and grammars stumble over."""

from hypothesis import strategies as st

awkward = st.text(
    st.one_of(st.sampled_from("\\'\"`${}=,:;%[]()#~!*?&|<> \t\r\n-"), st.characters()), max_size=40
)
# What a command line can hold: no null character, and bytes of UTF-8.
arguments = st.lists(
    st.text(
        st.one_of(
            st.sampled_from("\\'\"`${}=,:;%[]()#~!*?&|<> \t\r\n-"),
            st.characters(codec="utf-8", exclude_characters="\0"),
        ),
        max_size=40,
    ),
    max_size=8,
)
