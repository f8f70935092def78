"""Type variables of what users declare: data of events, input and output of functions.

Each stands for Any where nothing is declared, so that `Event` and `FunctionDefinition` can be written without brackets.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Defaults are of Python 3.13; type checkers know them before.
    from typing_extensions import TypeVar

    Data = TypeVar("Data", default=Any)
    Data_co = TypeVar("Data_co", default=Any, covariant=True)
    Input_contra = TypeVar("Input_contra", default=Any, contravariant=True)
    Output_co = TypeVar("Output_co", default=Any, covariant=True)
else:
    from typing import TypeVar

    Data = TypeVar("Data")
    Data_co = TypeVar("Data_co", covariant=True)
    Input_contra = TypeVar("Input_contra", contravariant=True)
    Output_co = TypeVar("Output_co", covariant=True)

Input = TypeVar("Input")
Output = TypeVar("Output")
